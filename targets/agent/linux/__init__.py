"""Read Linux: kernel files, processes, programs, the kernel's log."""
