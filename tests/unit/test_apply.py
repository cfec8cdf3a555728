"""Making lists true and untrue: what is said when undoing fails too.  The rest is in tests/kernel_cases.py."""

import pytest

from bascule.kernel.apply import bring_up, compare, repair, shift, take_down
from bascule.kernel.fake import FakeKernel
from bascule.model.addresses import ip_interface
from bascule.model.errors import KernelError
from bascule.model.thing import Address, Bridge, Thing

OLD = Bridge("br-old")
NEW = Bridge("br-new")
GATEWAY = Address("br-new", ip_interface("10.7.0.1/24"))


def notes(refusal: KernelError) -> list[str]:
    return list(getattr(refusal, "__notes__", []))


def test_an_error_while_taking_back_is_a_note_on_the_refusal() -> None:
    kernel = FakeKernel(refuse={GATEWAY}.__contains__, stick={NEW}.__contains__)
    with pytest.raises(KernelError) as refusal:
        bring_up(kernel, [NEW, GATEWAY])
    assert refusal.value.what == str(GATEWAY)
    assert notes(refusal.value) == [f"and taking back what was made: {NEW}: operation not permitted"]


def test_the_first_refusal_is_the_one_that_is_raised() -> None:
    with pytest.raises(KernelError) as refusal:
        bring_up(FakeKernel(refuse={NEW}.__contains__), [NEW, GATEWAY])
    assert refusal.value.what == str(NEW)


def test_taking_down_goes_on_after_a_refusal_and_tells_all_of_them() -> None:
    things: list[Thing] = [OLD, NEW, GATEWAY]
    kernel = FakeKernel(stick={GATEWAY, OLD}.__contains__)
    bring_up(kernel, things)
    with pytest.raises(ExceptionGroup) as group:
        take_down(kernel, things)
    assert [str(refusal) for refusal in group.value.exceptions] == [
        f"{GATEWAY}: operation not permitted",
        f"{OLD}: operation not permitted",
    ]
    assert kernel.missing([OLD, NEW]) == [NEW]


def test_comparing_changes_nothing_and_repairing_makes_what_is_missing() -> None:
    kernel = FakeKernel()
    bring_up(kernel, [NEW])
    before = kernel.dump()
    assert compare(kernel, [OLD, NEW]) == [OLD]
    assert kernel.dump() == before
    assert repair(kernel, [OLD, NEW]) == [OLD]
    assert repair(kernel, [OLD, NEW]) == []


def test_a_repair_that_is_refused_leaves_what_there_was() -> None:
    kernel = FakeKernel(refuse={GATEWAY}.__contains__)
    bring_up(kernel, [OLD])
    before = kernel.dump()
    with pytest.raises(KernelError):
        repair(kernel, [OLD, NEW, GATEWAY])
    assert kernel.dump() == before


def test_a_shift_whose_removal_is_refused_restores_the_old() -> None:
    kernel = FakeKernel(stick={OLD}.__contains__)
    bring_up(kernel, [OLD, NEW, GATEWAY])
    before = kernel.dump()
    with pytest.raises(KernelError) as refusal:
        shift(kernel, [OLD, NEW, GATEWAY], [])
    assert refusal.value.what == str(OLD)
    assert kernel.dump() == before


def test_what_cannot_be_restored_is_a_note_on_the_refusal() -> None:
    kernel = FakeKernel()
    bring_up(kernel, [OLD])
    kernel.refuse = {OLD, NEW}.__contains__
    with pytest.raises(KernelError) as refusal:
        shift(kernel, [OLD], [NEW])
    assert refusal.value.what == str(NEW)
    assert notes(refusal.value) == [f"and restoring what was there: {OLD}: operation not permitted"]


def test_what_is_in_both_is_not_touched() -> None:
    kernel = FakeKernel(refuse={NEW}.__contains__, stick={NEW}.__contains__)
    kernel.refuse = lambda _: False
    bring_up(kernel, [NEW])
    kernel.refuse = {NEW}.__contains__
    shift(kernel, [NEW], [NEW, OLD])
    assert kernel.missing([NEW, OLD]) == []
