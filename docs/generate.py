"""Writes every page that is quoted from elsewhere: `make docs`."""

from docs import generate_api, generate_cli, generate_firewall, generate_openapi

if __name__ == "__main__":
    for page in (generate_api, generate_cli, generate_firewall, generate_openapi):
        page.PAGE.write_text(page.text())
