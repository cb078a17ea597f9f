"""What the user wrote: the marker, prompt tables and the cases in them."""
