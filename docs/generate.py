"""Writes every page that is quoted from elsewhere: `make docs`."""

from docs import generate_cli, generate_firewall

if __name__ == "__main__":
    for page in (generate_cli, generate_firewall):
        page.PAGE.write_text(page.text())
