"""Where the harness runs. The same signature everywhere: a job in, its result or an EdgeError out."""
