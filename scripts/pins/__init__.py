"""The locked requirements of the images, proved against the package index (`make pins`), or locked anew."""
