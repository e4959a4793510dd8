"""Ask OpenSSH what the ssh config says of a host; read it ourselves only where there is no ssh."""
