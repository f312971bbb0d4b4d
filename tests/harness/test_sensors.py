"""Sensors read from trees of files in the kernel's formats and from a vcgencmd that is a real program."""

import pytest

from tests.harness import machine
from tflite_edge.harness import sensors
from tflite_edge.harness.bench import judge
from tflite_edge.records.sensors import Snapshot, named, trouble


def test_a_pi(tmp_path):
    found = sensors.snapshot(machine.pi(tmp_path, throttled="0x50005"))
    assert (found.governor, found.frequency_hz, found.temperature_c) == ("ondemand", 1.8e9, 48.312)
    assert found.throttled == 0x50005
    assert found.throttled_now == ["under-voltage", "throttled"]
    assert found.throttled_since_boot == ["under-voltage", "throttled"]
    assert found.why == {}


def test_a_machine_without_any(tmp_path):
    found = sensors.snapshot(str(tmp_path))
    assert found == Snapshot(why=found.why)
    assert sorted(found.why) == ["frequency_hz", "governor", "temperature_c", "throttled"]
    assert "no vcgencmd here" in found.why["throttled"]


def test_this_machine_answers_or_says_why():
    found = sensors.snapshot("/")
    for name in ("governor", "frequency_hz", "temperature_c", "throttled"):
        assert (getattr(found, name) is None) == bool(found.why.get(name))


def test_cores_that_differ_and_a_clock_from_cpuinfo(tmp_path):
    root = machine.pi(tmp_path)
    (tmp_path / machine.CPUFREQ.format(3) / "scaling_governor").write_text("performance\n")
    assert sensors.governor(root) == ("mixed: ondemand, performance", "")
    other = machine.write(tmp_path / "pc", {"proc/cpuinfo": "cpu MHz\t\t: 2596.144\ncpu MHz\t\t: 3100.000\n"})
    assert sensors.frequency(other) == (3.1e9, "")


def test_the_cpus_zone_the_hottest_else_the_firmware(tmp_path):
    zone = "sys/class/thermal/thermal_zone{}/{}".format
    files = {zone(0, "type"): "acpitz\n", zone(0, "temp"): "27800\n", zone(1, "temp"): "61000\n"}
    root = machine.write(tmp_path / "pc", {**files, zone(1, "type"): "x86_pkg_temp\n"})
    assert sensors.temperature(root) == (61.0, "")
    machine.write(tmp_path / "pc", {zone(1, "type"): "nvme\n", zone(0, "temp"): "unreadable"})
    assert sensors.temperature(root) == (61.0, "")
    machine.vcgencmd(tmp_path / "old", {"measure_temp": "temp=51.5'C"})
    assert sensors.temperature(str(tmp_path / "old")) == (51.5, "")


def test_a_tool_that_fails_says_so(tmp_path):
    machine.vcgencmd(tmp_path, {"get_throttled": "throttled=none"})
    assert sensors.throttled(str(tmp_path)) == (None, "vcgencmd answered 'throttled=none\\n'")
    value, why = sensors.vcgencmd(str(tmp_path), "pmic_read_adc")
    assert value is None
    assert "Command not registered" in why


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (0x0, 0x0, ""),
        (0x50000, 0x50000, ""),  # long ago
        (0x0, 0x50000, "held back during the run: under-voltage, throttled (use a stronger power supply"),
        (0x50000, 0xD0008, "held back during the run: soft temperature limit (cool the board"),
        (0x80008, 0x80008, "is held back: soft temperature limit (cool the board"),
        (None, 0x1, ""),
    ],
)
def test_a_change_makes_the_run_unstable(before, after, says):
    found = trouble(Snapshot(throttled=before), Snapshot(throttled=after))
    assert says in found
    assert bool(found) == bool(says)
    stable, sentence = judge([1.0, 1.01] * 10, found)
    assert stable == (not says)
    assert says in sentence


def test_names_of_the_bits():
    assert named(0xF) == ["under-voltage", "frequency capped", "throttled", "soft temperature limit"]
    assert named(0xF0000) == []
