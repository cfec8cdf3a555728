"""Addresses from a DHCP server: an udhcpc for each endpoint."""
