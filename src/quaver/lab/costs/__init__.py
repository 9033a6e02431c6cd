"""What a plan costs: operations, bytes, and milliseconds on a machine that a hardware profile describes."""
