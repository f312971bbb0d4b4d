"""What leaves the house: bundles for boards, for the Coral and for microcontrollers, packed the same and signed."""
