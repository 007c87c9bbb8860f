"""The project's code inside the guest, where it is the package `rlm_guest`."""
