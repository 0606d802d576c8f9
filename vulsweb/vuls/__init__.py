"""What Vuls itself says and reads; pure, without a database or Flask."""
