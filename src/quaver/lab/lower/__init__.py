"""From a trained codec to the integer model that ships."""
