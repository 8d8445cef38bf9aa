"""What befalls a keeper, and how it is judged."""
