"""What a network gives away and what it keeps, from its answers to images as they are stored."""
