"""Where bytes live: an OCI image layout shared by many bundles."""
