"""Files: lines in (number, byte offset), records out (whole or not at all), Arrow datasets and their manifests."""
