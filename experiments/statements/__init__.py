"""What the first page says of finished runs: sentences whose numbers are computed, by part of the project."""
