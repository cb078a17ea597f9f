"""What the user wrote: prompt tables."""
