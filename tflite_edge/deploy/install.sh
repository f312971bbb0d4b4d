#!/bin/sh
# Installs @NAME@ for @TITLE@: offline, without root, into a virtual environment of its own.
#
#   ./install.sh              into ~/.local/share/tflite-edge/@NAME@, the command classify into ~/.local/bin
#   PREFIX=DIR BIN=DIR PYTHON=python3.11 ./install.sh      BIN= for no command
#
# What was installed before stays in use until the new model has passed its smoke test.
set -eu
unset PYTHONPATH PYTHONHOME # the user's modules are not the bundle's
here=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-$HOME/.local/share/tflite-edge/@NAME@}
bin=${BIN-$HOME/.local/bin}
python=${PYTHON:-python3}
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
case $bin in /* | "") ;; *) bin=$PWD/$bin ;; esac

fail() { # exit status, what is wrong, what to do
  printf 'error: %s\n  do: %s\n' "$2" "$3" >&2
  exit "$1"
}

cd "$here"
[ -f SHA256SUMS ] || fail 3 "this is not all of the bundle: SHA256SUMS is missing" "unpack it again"
sha256sum --quiet --strict --check SHA256SUMS >&2 || fail 3 "the bundle was changed or is damaged" "get it again from who made it"

command -v "$python" >/dev/null || fail 4 "$python is not there" "sudo apt install python3, or PYTHON=... ./install.sh"
"$python" -s - <<'CHECK' || exit $?
import os, platform, struct, sys
def fail(status, what, do):
    print(f"error: {what}\n  do: {do}", file=sys.stderr)
    sys.exit(status)
machine, bits = platform.machine(), 8 * struct.calcsize("P")
if machine == "aarch64" and bits == 32:
    machine = "armv7l"
if machine != "@MACHINE@":
    fail(4, f"this bundle is for @TITLE@ (@MACHINE@), and this is {machine}", "tflite-edge package ... --for the board you have")
version = "%d.%d" % sys.version_info[:2]
if version != "@PYTHON@":
    fail(4, f"this bundle's wheels are for Python @PYTHON@, and this is {version}", "PYTHON=python@PYTHON@ ./install.sh, or package it for this board's system")
libc = os.confstr("CS_GNU_LIBC_VERSION") or "no glibc"
if not libc.startswith("glibc ") or tuple(map(int, libc.split()[1].split("."))) < tuple(map(int, "@GLIBC@".split("."))):
    fail(4, f"the runtime needs glibc @GLIBC@ or later, and this is {libc}", "use @SYSTEM@ or later")
CHECK

mkdir -p "$prefix/releases" || fail 4 "cannot write $prefix" "PREFIX=DIR ./install.sh with a folder of yours"
free=$(df -Pk "$prefix" | awk 'NR == 2 { print $4 }')
[ "$free" -ge @NEED_KIB@ ] || fail 4 "$prefix has $free KiB free, and @NEED_KIB@ are needed" "free some space, or PREFIX=DIR ./install.sh"

release=$prefix/releases/@RELEASE@.$$ # never over the one in use
new=$release.new
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$new/bundle"
for file in "$here"/*; do # what is installed from is not kept a second time
  case ${file##*/} in wheels | debs) ;; *) cp -R "$file" "$new/bundle" ;; esac
done

"$python" -s -m venv --without-pip "$new/venv" ||
  fail 4 "$python cannot make a virtual environment" "sudo apt install python3-venv"
for deb in "$here"/debs/*.deb; do
  [ -e "$deb" ] || break
  dpkg-deb -x "$deb" "$new/debian" || fail 4 "cannot unpack $deb" "free some space; dpkg-deb is part of dpkg"
done
# The wheels were chosen when the bundle was packed; pip is told so, because a 32-bit system under a 64-bit kernel
# misleads it. No byte code: Python writes it for what is really imported.
"$new/venv/bin/python" -s "$here/wheels/@PIP@/pip" install --quiet --no-index --no-deps --no-compile --no-cache-dir \
  --require-hashes --only-binary=:all: @PLATFORMS@ --target "$new/venv/lib/python@PYTHON@/site-packages" \
  --disable-pip-version-check --find-links "$here/wheels" -r "$here/requirements.txt" ||
  fail 4 "the wheels cannot be installed" "look at pip's words above"

mkdir -p "$new/bin"
cat > "$new/bin/classify" <<'RUN'
#!/bin/sh
# Runs the bundle's program in its own environment.
self=$(readlink -f "$0")
home=${self%/bin/classify}
unset PYTHONPATH PYTHONHOME
if [ -d "$home/debian" ]; then
  libraries=$home/debian/usr/lib/@TRIPLET@
  LD_LIBRARY_PATH=$libraries:$libraries/blas:$libraries/lapack${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  PYTHONPATH=$home/debian/usr/lib/python3/dist-packages
  export LD_LIBRARY_PATH PYTHONPATH
fi
TFLITE_EDGE_BUNDLE=$home/bundle exec "$home/venv/bin/python" -s "$home/bundle/app.pyz" "$@"
RUN
chmod 755 "$new/bin/classify"

"$new/bin/classify" --smoke || fail 5 "the model failed its smoke test on this board; what was installed before is still in use" "report the lines above"

sync # a power cut must not leave a release of empty files
mv "$new" "$release"
ln -sfn "releases/${release##*/}" "$prefix/current.new"
mv -T "$prefix/current.new" "$prefix/current"
sync
for old in "$prefix"/releases/*; do
  [ "$old" = "$release" ] || rm -rf "$old"
done
[ -z "$bin" ] || mkdir -p "$bin"
owner=$(readlink "$bin/classify" || true)
if [ -z "$bin" ]; then
  echo "installed: $prefix/current/bin/classify IMAGE"
elif [ -e "$bin/classify" ] && [ "$owner" != "$prefix/current/bin/classify" ]; then
  echo "$bin/classify is another model's or program's and was left alone: run $prefix/current/bin/classify"
else
  ln -sfn "$prefix/current/bin/classify" "$bin/classify"
  case :$PATH: in *:"$bin":*) echo "installed: classify IMAGE" ;; *) echo "installed: $bin/classify IMAGE" ;; esac
fi
echo "verdict: ok"
