"""JSON's null where a value of a map or a list is to be: Go's decoder, and so Docker, takes it for an empty one."""

from typing import Any

from msgspec import inspect


def filled(found: Any, kind: inspect.Type) -> Any:
    """*found*, which was read without a type, as *kind*: with empty values where maps and lists have none."""
    match kind, found:
        case inspect.UnionType(), _:
            return (
                found
                if found is None
                else next((filled(found, one) for one in kind.types if _of(found, one)), found)
            )
        case _, None:
            return _empty(kind)
        case inspect.StructType(), dict():
            types = {field.encode_name: field.type for field in kind.fields}
            return {key: filled(one, types[key]) if key in types else one for key, one in found.items()}
        case inspect.DictType(), dict():
            return {key: filled(one, kind.value_type) for key, one in found.items()}
        case inspect.ListType(), list():
            return [filled(one, kind.item_type) for one in found]
        case _:
            return found


def _of(found: Any, kind: inspect.Type) -> bool:
    if isinstance(found, dict):
        return isinstance(kind, inspect.StructType | inspect.DictType)
    return isinstance(found, list) and isinstance(kind, inspect.ListType)


def _empty(kind: inspect.Type) -> Any:
    match kind:
        case inspect.StrType():
            return ""
        case inspect.IntType() | inspect.FloatType():
            return 0
        case inspect.BoolType():
            return False
        case inspect.StructType() | inspect.DictType():
            return {}
        case inspect.ListType():
            return []
        case _:
            return None
