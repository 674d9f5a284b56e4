"""The study of the test database as plain data: what was tried, judged and refused, every false alarm, every missed fault, and the other rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study.detection.results import result_of
from study.operations.results import Tried
from study.operations.tasks import STUDY
from study.state import kept_in_words

LEAST_OPERATIONS, LEAST_FAMILIES, LEAST_SHARE, LEAST_FAULTS = 440, 4, 0.97, 300
"""The promise: LEAST_OPERATIONS are tried, LEAST_SHARE of them are judged in LEAST_FAMILIES families, and LEAST_FAULTS faults are planted."""

WITNESSES = ("with the witness", "without it")

OWN = "own kernel"


def facts_of(results: Mapping[str, Facts], run: Facts, command: str) -> Facts:
    """Return the study as plain data. ``results`` has the results by operation; ``run`` has the options and versions of the run."""
    found = {name: result_of(f"operation:{name}", facts) for name, facts in results.items()}
    tried = {name: one for name, one in found.items() if not one.refused and not one.failed}
    families = list(dict.fromkeys(family for one in tried.values() for family in one.families))
    enough = [name for name, one in tried.items() if len(one.judged_families) >= LEAST_FAMILIES]
    facts: Facts = {
        "study": STUDY,
        "operations": len(found),
        "tried": len(tried),
        "refused": _named((name, one.refused) for name, one in found.items() if one.refused),
        "failed": {name: one.failed for name, one in found.items() if one.failed},
        "crashes": [f"{name}, {crash}" for name, one in tried.items() for crash in one.crashes],
        "families": {family: sum(family in one.judged_families for one in tried.values()) for family in families},
        "judged_in_enough": len(enough),
        "judged_in_fewer": [name for name in tried if name not in enough],
        "not_judged": {name: reasons for name, one in tried.items() if (reasons := _not_judged(one))},
        "unjudged": _summed(one.unjudged for one in tried.values()),
        "ways": _ways(tried.values()),
        "named": named_differences(tried),
        "alarms": [str(alarm) for one in tried.values() for alarm in one.alarms if not alarm.named],
        "rules": _rules(tried.values()),
        "faults": _faults(tried),
        "table": [_row(name, one) for name, one in tried.items()],
        "command": command,
        **run,
    }
    facts["short"] = _short(facts)
    facts["status"], facts["verdict"], word = kept_in_words(not facts["short"], not facts["failed"] and not facts["crashes"])
    facts["headline"] = f"{word}: {'; '.join(_sums(facts))}"
    return facts


def _named(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names for each reason, the most common reason first."""
    named: dict[str, list[str]] = {}
    for name, reason in pairs:
        named.setdefault(reason, []).append(name)
    return dict(sorted(named.items(), key=lambda item: -len(item[1])))


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return dict(total.most_common())


def _not_judged(one: Tried) -> dict[str, str]:
    """Return the families in which no sample was judged completely, each with a reason."""
    return {family: reasons[0] for family, reasons in one.families.items() if "" not in reasons and reasons}


def named_differences(tried: Mapping[str, Tried]) -> Facts:
    """Return, for each known difference by its reason, how many quantities of each operation show it."""
    counts: dict[str, Counter[str]] = {}
    for name, one in tried.items():
        for alarm in one.alarms:
            if alarm.named:
                counts.setdefault(alarm.named, Counter())[name] += 1
    return {reason: dict(names) for reason, names in counts.items()}


_COUNTS = ("judged", "other", "widened", "unjudged", "impossible", "named", "alarms")
"""What can happen to a quantity that is computed in one of the ways; each is counted."""


def _ways(tried: Iterable[Tried]) -> Facts:
    ways: dict[str, Facts] = {}
    for one in tried:
        for way, counts in one.ways.items():
            total = ways.setdefault(way, dict.fromkeys(("operations", "other_operations", *_COUNTS), 0))
            total["operations"] += bool(counts.get("judged"))
            total["other_operations"] += bool(counts.get("other"))
            for what in _COUNTS:
                total[what] += counts.get(what, 0)
    return ways


def _rules(tried: Iterable[Tried]) -> Facts:
    rules: dict[str, Facts] = {}
    for one in tried:
        for rule, (asked, wrong) in one.rules.items():
            total = rules.setdefault(rule, {"quantities": 0, "alarms": 0, "operations": 0})
            total["quantities"] += asked
            total["alarms"] += wrong
            total["operations"] += bool(wrong)
    return rules


def _faults(tried: Mapping[str, Tried]) -> Facts:
    planted = [(name, fault) for name, one in tried.items() for fault in one.faults]
    needed = [(name, fault) for name, fault in planted if fault.has_to_be_seen]
    rules = dict.fromkeys(rule for _, fault in planted for rule in fault.rules)
    return {
        "planted": len(planted),
        "have_to_be_seen": len(needed),
        "seen": {which: sum(fault.seen[which] for _, fault in needed) for which in WITNESSES},
        "seen_of_all": {which: sum(fault.seen[which] for _, fault in planted) for which in WITNESSES},
        "rules": {rule: sum(fault.rules[rule] for _, fault in needed) for rule in rules},
        "rules_of_all": {rule: sum(fault.rules[rule] for _, fault in planted) for rule in rules},
        "by_size": {
            f"{size:g}": {
                "planted": sum(fault.size == size for _, fault in planted),
                "have_to_be_seen": sum(fault.size == size for _, fault in needed),
                **{which: sum(fault.seen[which] for _, fault in needed if fault.size == size) for which in WITNESSES},
                **{rule: sum(fault.rules[rule] for _, fault in needed if fault.size == size) for rule in rules},
            }
            for size in sorted({fault.size for _, fault in planted}, reverse=True)
        },
        "unseen": [
            f"{name}, {fault.place}, {fault.extent}, {fault.size:g}: "
            f"{'exact there' if fault.times is None else f'{fault.times:.3g} times the tolerance'}, not seen {which}"
            for name, fault in needed
            for which in WITNESSES
            if not fault.seen[which]
        ],
    }


def _row(name: str, one: Tried) -> Facts:
    own = one.ways.get(OWN, {})
    others = [counts for way, counts in one.ways.items() if way != OWN]
    return {
        "name": name,
        "samples": one.samples,
        "families": {family: "" in reasons for family, reasons in one.families.items()},
        "weaker": [family for family, made in one.made.items() if any("weaker" in words for words in made)],
        "quantities": own.get("judged", 0),
        "others": sum(counts.get("judged", 0) for counts in others),
        "other": sum(counts.get("other", 0) for counts in others),
        "alarms": sum(not alarm.named for alarm in one.alarms),
        "rules": {rule: wrong for rule, (_, wrong) in one.rules.items()},
    }


def _short(facts: Facts) -> list[str]:
    """Return, in words, how the study falls short of the promise."""
    faults, tried, whole = facts["faults"], facts["tried"], not facts["quick"] and not facts["pattern"]
    short = [f"false alarm: {alarm}" for alarm in facts["alarms"]] + [f"not seen: {fault}" for fault in faults["unseen"]]
    if facts["judged_in_enough"] < LEAST_SHARE * tried:
        names = ", ".join(facts["judged_in_fewer"])
        short.append(f"judged in {LEAST_FAMILIES} families: {facts['judged_in_enough']} of {tried} operations; in fewer: {names}")
    if whole and tried < LEAST_OPERATIONS:
        short.append(f"{tried} operations were tried, at least {LEAST_OPERATIONS} have to be")
    if whole and faults["planted"] < LEAST_FAULTS:
        short.append(f"{faults['planted']} faults were planted, at least {LEAST_FAULTS} have to be")
    return short


def _sums(facts: Facts) -> list[str]:
    faults, ways = facts["faults"], facts["ways"]
    quantities = sum(way["judged"] for way in ways.values())
    return [
        f"{facts['tried']:,} of {counted(facts['operations'], 'operation')} tried",
        f"{facts['judged_in_enough']:,} judged in at least {LEAST_FAMILIES} families",
        f"{counted(len(facts['alarms']), 'false alarm')} in {counted(quantities, 'quantity', 'quantities')}",
        f"of {counted(faults['have_to_be_seen'], 'fault')} above four times the tolerance {faults['seen'][WITNESSES[0]]:,} seen with the witness, "
        f"{faults['seen'][WITNESSES[1]]:,} without it",
    ]
