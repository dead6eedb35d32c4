"""GIVE. What is made of a finished run; reads it, never changes it."""
