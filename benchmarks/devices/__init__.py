"""Many devices and many hosts: what a search costs there, and checks that a machine must be prepared for."""
