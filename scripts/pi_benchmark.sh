#!/bin/sh
# The whole benchmark on a Raspberry Pi in one command: models in, a table and JSON out.
#
#   scripts/pi_benchmark.sh pi@raspberrypi.local                     all of build/, over SSH
#   scripts/pi_benchmark.sh ssh://pi@raspberrypi.local:2222          at another port
#   scripts/pi_benchmark.sh pi@raspberrypi.local build/mobilenet -- --threads 4
#   scripts/pi_benchmark.sh                                          on the board itself
#
# pi_benchmark.sh [HOST] [PATH...] [-- OPTION...]: a first word that is not a file or folder is the host, as ssh
# takes it. The options are those of scripts/pi_benchmark.py. It needs Python 3.9, NumPy and a TFLite runtime on the
# board; `tflite-edge doctor --on ssh://HOST --install` puts them there. RESULT (pi_benchmark.json) is the JSON file.
# Exit status: that of pi_benchmark.py; 2 wrong use, 3 no models, 4 something is missing, 5 no connection.
set -eu

fail() { printf 'error: %s\n  do: %s\n' "$2" "$3" >&2; exit "$1"; }

case ${1-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd)
result=${RESULT:-pi_benchmark.json}
host=
if [ $# -gt 0 ] && [ "$1" != -- ] && [ ! -e "$1" ]; then
  host=$1
  shift
  case $host in -*) fail 2 "$host is no host" "options come after --" ;; esac
  case $host in ssh://*) ;; *.tflite | */*) fail 3 "there is no $host" "give a .tflite file or a folder of them" ;; esac
fi
paths=0
for word; do
  [ "$word" = -- ] && break
  [ -e "$word" ] || fail 3 "there is no $word" "give a .tflite file or a folder of them"
  paths=$((paths + 1))
done
if [ "$paths" -eq 0 ]; then
  for folder in "$root"/build/*/; do
    for model in "$folder"*.tflite; do # a folder without any is left out
      [ -f "$model" ] || continue
      set -- "${folder%/}" "$@"
      paths=$((paths + 1))
      break
    done
  done
  [ "$paths" -gt 0 ] || fail 3 "there are no models in $root/build" "make convert MODEL=mobilenet"
fi

# The words in their order, but without the --, as pi_benchmark.py takes them.
count=$#
seen=
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  count=$((count - 1))
  if [ -z "$seen" ] && [ "$word" = -- ]; then seen=yes; else set -- "$@" "$word"; fi
done

if [ -z "$host" ]; then
  python=$HOME/.local/share/tflite-edge/venv/bin/python
  [ -x "$python" ] || python=python3
  command -v "$python" >/dev/null || fail 4 "there is no python3" "sudo apt install python3"
  exec "$python" "$root/scripts/pi_benchmark.py" "$@" --json "$result"
fi

command -v ssh >/dev/null || fail 4 "there is no ssh" "sudo apt install openssh-client"
work=$(mktemp -d)
trap 'rm -rf "$work" "$result.part"' EXIT
trap 'exit 130' HUP INT TERM
(: >"$result.part") 2>/dev/null || fail 4 "cannot write $result" "RESULT=FILE, in a folder that is there"
mkdir -p "$work/send/scripts" "$work/send/models"
# Only what pi_benchmark.py needs; no caches of this machine.
(cd "$root" && find tflite_edge -name '*.py' | tar -cf - -T - scripts/pi_benchmark.py) | tar -xf - -C "$work/send"

# Models keep their folders, with the samples and manifest beside them. The first $paths words are models.
number=0
while [ "$number" -lt "$paths" ]; do
  number=$((number + 1))
  path=$1
  shift
  mkdir "$work/send/models/$number"
  if [ -d "$path" ]; then
    name=$(basename "$(cd "$path" && pwd)")
    mkdir "$work/send/models/$number/$name"
    for file in "$path"/*.tflite "$path/samples.npz" "$path/manifest.json"; do
      [ -f "$file" ] && cp "$file" "$work/send/models/$number/$name/"
    done
    set -- "$@" "models/$number/$name"
  else
    for file in "$path" "$(dirname "$path")/samples.npz" "$(dirname "$path")/manifest.json"; do
      [ ! -f "$file" ] || cp "$file" "$work/send/models/$number/"
    done
    set -- "$@" "models/$number/$(basename "$path")"
  fi
done

# Words in single quotes for the board's shell.
quoted=
for word; do quoted="$quoted '$(printf %s "$word" | sed "s/'/'\\\\''/g")'"; done

tar -C "$work/send" -cf "$work/sent.tar" .
# The board's stdin is held open behind the archive: its end means that we are gone, and the benchmark goes as well.
remote="d=\$(mktemp -d) || exit 4; trap 'rm -rf \"\$d\"' EXIT; trap 'exit 130' HUP INT TERM; cd \"\$d\" || exit 4
head -c $(($(wc -c <"$work/sent.tar"))) | tar -xf - || exit 4
p=\$HOME/.local/share/tflite-edge/venv/bin/python; [ -x \"\$p\" ] || p=python3
command -v \"\$p\" >/dev/null || { echo 'error: there is no python3 on the board' >&2; exit 4; }
exec 3<&0
setsid \"\$p\" scripts/pi_benchmark.py $quoted --json result.json </dev/null 3<&- &
c=\$!
(while read -r _; do :; done; kill -s KILL -- \"-\$c\") <&3 >/dev/null 2>&1 &
g=\$!
wait \"\$c\"; s=\$?
kill \"\$g\" 2>/dev/null
echo @@JSON; [ -f result.json ] && cat result.json; exit \$s"
status=0
mkfifo "$work/stdin"
ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15 -o ServerAliveInterval=10 -o RemoteCommand=none \
  -o RequestTTY=no -- "$host" "exec sh -c '$(printf %s "$remote" | sed "s/'/'\\\\''/g")'" \
  <"$work/stdin" >"$work/answer" &
ssh=$!
exec 3>"$work/stdin"
cat "$work/sent.tar" >&3 || : # it broke: ssh says why
wait "$ssh" || status=$?
exec 3>&-
[ "$status" -ne 255 ] || fail 5 "no connection to $host, or it broke" "ssh $host must work without a password"
sed '/^@@JSON$/,$d' "$work/answer"
sed '1,/^@@JSON$/d' "$work/answer" >"$work/result.json"
if [ -s "$work/result.json" ]; then
  cp "$work/result.json" "$result.part" && mv "$result.part" "$result"
  echo "wrote $result" >&2
fi
exit "$status"
