"""What is measured and not tested: how fast and how small the tool itself is, beside what one would write by hand.

    python -m benchmarks                    all of them, as one table
    python -m benchmarks startup convert    only these
    python -m benchmarks --quick            fewer repetitions: does it run, roughly how fast
    python -m benchmarks --save             all of them, and rewrite the generated part of RESULTS.md

`bare/` holds the scripts that one would write without this project, `ours/` what needs TensorFlow in a
process of its own. A ratio compares runs that alternate, so that a busy machine slows both sides down.
"""
