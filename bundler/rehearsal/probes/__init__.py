"""What runs inside a bundle's images: the standard library and what the image has, nothing of this package.

They are written out as files, mounted read-only, and run by the image's own Python. None imports its neighbours by
their name in this package: over there they lie in one directory, which is on the path.
"""
