"""Where and how a run is computed: device, precision, memory, and independent jobs."""
