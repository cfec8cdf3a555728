"""X25519 (RFC 7748): the public key that belongs to a private one.  Once a node's life, and never on others'
bytes."""

import base64

_P = 2**255 - 19
_A24 = 121665


def public(secret: str) -> str:
    """Both in base64, as WireGuard has them."""
    return base64.b64encode(multiply(base64.b64decode(secret), (9).to_bytes(32, "little"))).decode()


def multiply(scalar: bytes, point: bytes) -> bytes:
    """The function X25519 of the RFC's section 5."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | (1 << 254)
    x1 = int.from_bytes(point, "little") & ~(1 << 255)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % _P, c * b % _P, a * a % _P, b * b % _P
        e = aa - bb
        x3, z3 = pow(da + cb, 2, _P), x1 * pow(da - cb, 2, _P) % _P
        x2, z2 = aa * bb % _P, e * (aa + _A24 * e) % _P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")
