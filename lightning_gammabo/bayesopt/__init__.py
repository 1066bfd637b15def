"""Which learning rate next? Ask and tell; sees no network."""
