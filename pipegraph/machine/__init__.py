"""What there is on this machine, and sharing it with other runs."""
