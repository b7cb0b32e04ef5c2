"""The life of an order, as data: nobody but a later batch can close one, or the end of its rule."""

#: A batch proved the fix, or showed that the rule is no longer one.
_ENDS = {"prove": "closed", "retire": "closed"}
#: state → the actions possible in it and the state each leads to
TRANSITIONS: dict[str, dict[str, str]] = {
    "open": {"assign": "assigned", "take": "assigned", "recur": "open", **_ENDS},
    "assigned": {"assign": "assigned", "resolve": "resolved", "recur": "assigned", **_ENDS},
    "resolved": {"assign": "assigned", "recur": "assigned", **_ENDS},
    "closed": {"recur": "open", "reopen": "open"},
}
#: What only an event can do.
BY_EVENT = frozenset({"prove", "recur", "reopen", "retire"})
#: What people do; who may, says the policy's lines of `order`.
ACTIONS = {"assign": "分派", "take": "认领", "resolve": "报告已处理", "comment": "留言"}
TITLES = {"open": "待分派", "assigned": "处理中", "resolved": "待验证", "closed": "已关闭"}


def next_state(state: str, action: str) -> str | None:
    """The state after an action, None when the action is not possible."""
    return TRANSITIONS[state].get(action)
