"""How the rules of the first and the later searches were chosen."""
