"""Meters on files and programs in the real formats, and joules from readings whose sum is known."""

import os
import re
import time

import numpy as np
import pytest

from tests.harness import machine
from tflite_edge.harness import power
from tflite_edge.harness.energy import Block, Sampler, energy, summed

HWMON = "sys/class/hwmon/hwmon{}/{}".format
RAPL = "sys/class/powercap/intel-rapl:{}/{}".format


def test_the_rails_are_paired_by_name():
    rails = re.findall(r"(\w+)_A current\(\d+\)=([\d.]+)", machine.PMIC)
    by_hand = sum(
        float(amperes) * float(re.search(rf"\b{name}_V volt\(\d+\)=([\d.]+)", machine.PMIC)[1])
        for name, amperes in rails
    )
    assert len(rails) == 12
    assert power.rails_w(machine.PMIC) == pytest.approx(by_hand)
    backwards = "\n".join(reversed(machine.PMIC.splitlines()))
    assert power.rails_w(backwards) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="no rails"):
        power.rails_w("      EXT5V_V volt(24)=5.09066000V\n")


def test_a_pi_5_is_read_by_its_pmic(tmp_path):
    root = machine.pi(tmp_path, pmic_read_adc=machine.PMIC)
    meter, why = power.find(root)
    assert why == ""
    assert "PMIC" in meter.source
    assert meter.read() == pytest.approx(1.1451 * power.rails_w(machine.PMIC) + 0.5879)


def test_an_ina219_comes_before_the_processors_own_counter(tmp_path):
    files = {
        HWMON(0, "name"): "amdgpu\n", HWMON(0, "power1_average"): "9000000\n",
        HWMON(1, "name"): "ina219\n", HWMON(1, "power1_input"): "3140000\n",
        RAPL(0, "name"): "package-0\n", RAPL(0, "energy_uj"): "5\n", RAPL(0, "max_energy_range_uj"): "1000\n",
    }  # fmt: skip
    meter, _ = power.find(machine.write(tmp_path, files))
    assert meter.source == "ina219 (hwmon power1_input)"
    assert meter.read() == pytest.approx(3.14)


def test_rapl_counts_over_its_end(tmp_path, monkeypatch):
    files = {RAPL(0, "name"): "package-0\n", RAPL(0, "energy_uj"): "262143000000\n"}
    root = machine.write(tmp_path, {**files, RAPL(0, "max_energy_range_uj"): "262143328850\n"})
    machine.write(tmp_path, {RAPL("0:0", "name"): "core\n", RAPL("0:0", "energy_uj"): "1\n"})
    clock = iter([10.0, 12.0, 13.0])
    monkeypatch.setattr(power.time, "perf_counter", lambda: next(clock))
    meter, _ = power.find(root)
    assert "package-0" in meter.source
    machine.write(tmp_path, {RAPL(0, "energy_uj"): "3671150\n"})
    assert meter.read() == pytest.approx((328850 + 3671150) * 1e-6 / 2)
    machine.write(tmp_path, {RAPL(0, "energy_uj"): "5671150\n"})
    assert meter.read() == pytest.approx(2.0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_rapl_for_root_alone(tmp_path):
    root = machine.write(tmp_path, {RAPL(0, "name"): "package-0\n", RAPL(0, "energy_uj"): "1\n"})
    (tmp_path / RAPL(0, "energy_uj")).chmod(0)
    meter, why = power.find(root)
    assert meter is None
    assert "for root alone" in why


def test_nothing_to_read_says_what_was_looked_for(tmp_path):
    meter, why = power.find(str(tmp_path))
    assert meter is None
    assert all(word in why for word in ("PMIC", "INA2xx", "RAPL", "--power-command"))


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        ("3.1", 3.1),
        ("3.1 W\n", 3.1),
        ("3100mW", 3.1),
        ("5.00V 0.62A", 3.1),
        ("5V 620mA", 3.1),
        ("5.1V 0.6A 3.06W", 3.06),
        ("5.1V,0.6A,3.06W", 3.06),
        ("-0.2 W", -0.2),
        ("31e-1 W", 3.1),
        ("3.1e3mW", 3.1),
        ("5e0V 6.2E-1A", 3.1),
    ],
)
def test_lines_of_meters(line, watts):
    assert power.watts_in(line) == pytest.approx(watts)


@pytest.mark.parametrize(
    "line",
    ["hello", "5.1V", "0x10", "watts", "3,14 W", "5,1V 0,61A", "1.2.3 W", "3 kW", "nan", "inf", "1e999 W"],
)
def test_lines_without_watts(line):
    with pytest.raises(ValueError, match="no watts"):
        power.watts_in(line)


@pytest.mark.parametrize("command", ["echo 2.5W", "while :; do echo 2.5W; sleep 0.02; done", "yes 2.5 | cat"])
def test_commands_that_end_and_commands_that_go_on(command):
    with Sampler(power.Command(command)) as sampler:
        until = time.monotonic() + 20
        while len(sampler.samples) < 3 and not sampler.failure and time.monotonic() < until:
            time.sleep(0.02)
    assert sampler.failure == ""
    moments = [moment for moment, _ in sampler.samples]
    assert len(moments) >= 3
    assert np.diff(moments).min() >= 0.05  # however many lines there are
    assert {watts for _, watts in sampler.samples} == {2.5}


@pytest.mark.parametrize(
    ("command", "says"),
    [("true", "printed nothing"), ("exit 3", "status 3"), ("no-such-meter", "status 127"), ("echo volts", "no watts")],
)
def test_a_command_that_fails_is_no_meter(command, says, tmp_path):
    found = energy(lambda: time.sleep(0.001), 0.4, command, str(tmp_path))
    assert found.joules is None
    assert says in found.why
    assert found.estimate_source.startswith("no published figures")


def test_joules_by_hand():
    """2 W idle; 10 blocks of one second at 5 W with 100 inferences each: 30 mJ each."""
    found = summed("a meter", [2.0] * 20, [Block(1.0, 100, 5.0)] * 10, 120)
    assert (found.joules, found.low_j, found.high_j) == pytest.approx((0.03, 0.03, 0.03))
    assert (found.idle_w, found.active_w, found.inferences, found.why) == (2.0, 5.0, 1000, "")


def test_the_interval_holds_the_truth_and_says_when_it_holds_zero():
    generator = np.random.default_rng(0)
    idle = list(2 + 0.1 * generator.normal(size=50))
    blocks = [Block(1.0, 100, 2.5 + 0.1 * error) for error in generator.normal(size=10)]
    found = summed("a meter", idle, blocks, 150)
    assert found.low_j < 0.005 < found.high_j
    assert found.why == ""
    nothing = summed("a meter", idle, [block._replace(watts=block.watts - 0.5) for block in blocks], 150)
    assert nothing.low_j < 0 < nothing.high_j
    assert "not above the idle" in nothing.why


def test_a_load_is_seen_above_idle(tmp_path):
    """The meter is a file that the load writes, as the kernel does for a chip."""
    path = tmp_path / HWMON(0, "power1_input")
    machine.write(tmp_path, {HWMON(0, "name"): "ina226\n", HWMON(0, "power1_input"): "2000000\n"})

    def invoke():
        path.write_text("5000000\n") if path.read_text() != "5000000\n" else time.sleep(0.01)

    found = energy(invoke, 2.0, None, str(tmp_path))
    assert found.idle_w == pytest.approx(2.0)
    assert found.active_w == pytest.approx(5.0, rel=0.1)
    assert found.joules == pytest.approx((found.active_w - found.idle_w) * found.seconds / found.inferences)
    assert found.low_j <= found.joules <= found.high_j


def test_an_estimate_is_called_one(tmp_path):
    root = machine.write(tmp_path, {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"})

    def busy():
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass

    found = energy(busy, 10.0, None, root)
    assert found.joules is None
    assert found.source is None
    assert found.estimate_j == pytest.approx(0.01 * (6.4 - 2.7) / 4, rel=0.3)
    assert "2.7 W idle" in found.estimate_source
