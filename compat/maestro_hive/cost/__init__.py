"""What personas use."""
