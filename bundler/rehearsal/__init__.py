"""What a bundle does in front of the gap: probes that run in its images, what they saw, and what is made of it."""
