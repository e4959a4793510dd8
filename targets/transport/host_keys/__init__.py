"""Verify host keys as OpenSSH does: known_hosts files, host certificates, revocation."""
