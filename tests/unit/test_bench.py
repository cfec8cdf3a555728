"""The bench's arithmetic: medians, budgets and their words."""

from bench import report
from bench.ground import changed
from bench.measure import Row, interleaved, percentile


def test_a_budget_from_above_is_kept_by_the_ratio_of_the_medians() -> None:
    row = Row("create@1", "network create", "ms", [2, 3, 100], [70, 75, 80], budget=1 / 25)
    assert f"{row.ratio:.2f} {report.bound(row)} {report.verdict(row)}" == "0.04 ≤ 1/25 ✓"


def test_where_more_is_better_the_budget_is_a_floor() -> None:
    row = Row("resolver@500", "resolver", "q/s", [50_000], [40_000], budget=2.5, more=True)
    assert f"{row.ratio:.2f} {report.bound(row)} {report.verdict(row)}" == "1.25 ≥ 2.5 ✗"


def test_a_row_without_a_promise_has_no_verdict() -> None:
    row = Row("list:p99", "GET /networks", "ms", [1.0], [2.0])
    assert f"{row.ratio:.2f}[{report.bound(row)}][{report.verdict(row)}]" == "0.50[][]"


def test_rounds_take_turns_in_changing_order_and_the_first_of_each_is_not_counted() -> None:
    order: list[str] = []

    def one(side: str) -> int:
        order.append(side)
        return len(order)

    samples = interleaved(("a", "b"), 2, one)
    assert ("".join(order), samples) == ("baabba", [[3, 6], [4, 5]])


def test_a_percentile_is_one_of_the_samples() -> None:
    assert [percentile([5.0, 1.0, 3.0], part) for part in (0.0, 0.5, 0.99)] == [1.0, 3.0, 5.0]


def test_the_picture_is_svg_with_a_bar_a_row() -> None:
    rows = [Row("a", "a < b", "ms", [1], [10], budget=0.5), Row("b", "c", "q/s", [30], [10], budget=2, more=True)]
    drawn = report.picture(rows)
    assert (drawn.count("<rect"), "a &lt; b" in drawn, drawn.startswith("<svg")) == (3, True, True)


def test_a_sysctl_that_changed_is_a_difference_and_one_that_came_with_a_module_is_none() -> None:
    before = {"net.ipv4.ip_forward = 0", "net.ipv4.tcp_ecn = 2"}
    now = {"net.ipv4.ip_forward = 1", "net.ipv4.tcp_ecn = 2", "net.netfilter.nf_conntrack_acct = 0"}
    assert changed("sysctl", before, now) == [
        "sysctl: gone: net.ipv4.ip_forward = 0",
        "sysctl: new: net.ipv4.ip_forward = 1",
    ]
    assert changed("link", {"lo"}, {"lo", "eth0"}) == ["link: new: eth0"]
