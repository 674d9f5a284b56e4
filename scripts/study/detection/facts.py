"""The study of the catalogue as plain data: the findings on each fault, their sums, and whether the promise is kept.

The data do not depend on how long anything took, or on how often the run was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Facts, Verdict
from crosscheck.report.words import counted
from study.detection.ablation import ABLATIONS, LEFT_OUT, seen_without
from study.detection.results import Ablated, Checked, RightOnes, Rivals, result_of
from study.detection.rivals import GRADCHECK, GRADCHECK_WORDS, RULES
from study.detection.work import COTANGENTS, hosts_of
from study.state import kept_in_words
from tests.support.faults import Fault

RIGHT_CAUSES, WRONG_CAUSES = 0.90, 0.02
"""The promise: at least this share of the known causes is named, and at most this share of all faults gets a wrong cause."""

USUAL = {"normal", "training"}
"""The families on which people usually compare: normal numbers, and a model's own batches."""

WORDS = {name: rule.words for name, rule in RULES.items()} | {GRADCHECK: GRADCHECK_WORDS}


def facts_of(faults: Sequence[Fault], results: Mapping[str, Facts], run: Facts, command: str) -> Facts:
    """Return the study as plain data. ``results`` has the results by task key; ``run`` has the options and versions of the run."""
    found = {key: result_of(key, result) for key, result in results.items()}
    hosts = [host.name for host in hosts_of(list(faults))]
    catalogue = [_fault_facts(fault, found) for fault in faults]
    areas = dict.fromkeys(fault["area"] for fault in catalogue)
    facts: Facts = {
        **_counts(catalogue),
        "false_alarms": _false_alarms(found),
        "rivals": _rivals(catalogue, [found[f"host-rivals:{name}"] for name in hosts], found),
        # A quick run stops at the first check that detects a fault, so it does not know what the other checks would detect.
        "ablation": {} if run["quick"] else {part: _ablation(part, catalogue) for part in ABLATIONS},
        "missed": [fault["name"] for fault in catalogue if not fault["detected"] and not fault["warned"]],
        "known_misses": {fault.name: fault.missed for fault in faults if fault.missed},
        "short": [line for fault in catalogue for line in _short(fault)],
        "unjudged": [f"{key}: {one.failed}" for key, one in found.items() if one.failed and not key.startswith("fault")],
        "areas": {area: _counts([fault for fault in catalogue if fault["area"] == area]) for area in areas},
        "catalogue": catalogue,
        "hosts": hosts,
        "families": list(FAMILIES),
        "command": command,
        **run,
    }
    facts["unjudged"] += [f"host:{name}: {found[f'host:{name}'].verdict}" for name in hosts if _undecided(found[f"host:{name}"])]
    facts["status"], facts["verdict"], word = kept_in_words(_kept(facts), not facts["unjudged"])
    facts["headline"] = f"{word}: {'; '.join(_sums(facts))}"
    return facts


def _undecided(host: RightOnes) -> bool:
    return not host.failed and host.verdict not in (Verdict.MATCH, Verdict.MISMATCH)


def _fault_facts(fault: Fault, found: Mapping[str, Any]) -> Facts:
    checked: Checked = found[f"fault:{fault.name}"]
    ablated: Ablated = found.get(f"ablation:{fault.name}", Ablated())
    rivals: Rivals = found[f"fault-rivals:{fault.name}"]
    host: Rivals = found[f"host-rivals:{fault.host.name}"]
    detected = checked.verdict == Verdict.MISMATCH
    warned = not detected and bool(checked.warned_by)
    without = {part: seen_without(part, checked.checks) for part in LEFT_OUT}
    # If a pair does not have the part, or the run without it failed, leaving the part out changes nothing.
    without |= {part: detected if seen is None else seen for part, seen in ablated.seen.items()}
    return {
        "name": fault.name,
        "area": fault.name.partition("-")[0],
        "words": fault.words,
        "host": fault.host.name,
        "hidden": fault.hidden,
        "missed": fault.missed,
        "at": fault.at,
        "place": checked.place,
        "cause": fault.cause,
        "found_cause": checked.cause,
        "detected": detected,
        "warned": warned,
        "localised": (detected or warned) and checked.place == fault.at,
        "diagnosis": _diagnosis(fault.cause, checked.cause),
        "found": checked.failed or checked.words,
        "verdict": checked.verdict or "failed",
        "seen_by": checked.seen_by,
        "warned_by": checked.warned_by,
        "families": [family for family in FAMILIES if any(check.endswith(f"-{family}") for check in checked.seen_by)],
        "without": {part: without.get(part, detected) for part in ABLATIONS},
        "rivals": {f"{rule}, {cotangent}": _rival(rivals, host, rule, cotangent) for rule in WORDS for cotangent in COTANGENTS},
    }


def _diagnosis(cause: str, found: str) -> str:
    """Return whether the named cause is ``right``, ``wrong`` or ``unknown``; ``none`` if no fault model explains the fault and none was named."""
    if found and found != cause:
        return "wrong"
    if not cause:
        return "none"
    return "right" if found else "unknown"


def _rival(rivals: Rivals, host: Rivals, rule: str, cotangent: str) -> Facts:
    """Return whether a rule rejects a fault on any inputs, on inputs on which it accepts the right code, and on usual inputs among the latter."""
    if rivals.failed:  # a user of the rule notices the failure
        return {"detected": True, "told_apart": True, "usual": True}
    rejected, alarmed = rivals.rejected(rule, cotangent), host.rejected(rule, cotangent)
    apart = set(rejected) - set(alarmed)
    return {"detected": bool(rejected), "told_apart": bool(apart), "usual": bool(apart & USUAL)}


def _counts(catalogue: Sequence[Facts]) -> Facts:
    """Count the faults: all, detected, warned of, localised, and by whether their causes were named."""
    diagnoses = [fault["diagnosis"] for fault in catalogue]
    causes = {"known": sum(bool(fault["cause"]) for fault in catalogue), **{word: diagnoses.count(word) for word in ("right", "wrong", "unknown")}}
    return {
        "faults": len(catalogue),
        **{what: sum(fault[what] for fault in catalogue) for what in ("detected", "warned", "localised")},
        "causes": causes,
    }


def _false_alarms(found: Mapping[str, Any]) -> Facts:
    right = {key: one for key, one in found.items() if isinstance(one, RightOnes)}
    reasons = Counter[str]()
    for one in right.values():
        reasons.update(one.reasons)
    alarms = [f"{key.partition(':')[2]}: {alarm}" for key, one in right.items() for alarm in one.alarms]
    ways = {key for key in right if key.startswith("host:")} | {way for one in right.values() for way in one.ways}
    return {
        **{what: sum(getattr(one, what) for one in right.values()) for what in ("quantities", "measured", "elements")},
        "implementations": len(ways),
        "alarms": len(alarms),
        "largest_fraction_of_tolerance": max((one.largest for one in right.values() if one.largest is not None), default=0.0),
        "found": alarms,
        "not_compared": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }


def _rivals(catalogue: Sequence[Facts], hosts: Sequence[Rivals], found: Mapping[str, Any]) -> Facts:
    batches = [one for key, one in found.items() if key.startswith("alarms:")]
    rivals: Facts = {}
    for rule, words in WORDS.items():
        for cotangent in COTANGENTS:
            name = f"{rule}, {cotangent}"
            totals = [host.total(rule, cotangent) for host in hosts]
            # Batches of right implementations get random upstream gradients only.
            totals += [batch.rules[rule] for batch in batches if rule in batch.rules and cotangent == COTANGENTS[-1]]
            quantities, alarms = (sum(total[part] for total in totals) for part in (0, 1))
            rivals[name] = {
                "rule": rule,
                "cotangent": cotangent,
                "words": words,
                **{what: sum(fault["rivals"][name][what] for fault in catalogue) for what in ("detected", "told_apart", "usual")},
                "missed": [fault["name"] for fault in catalogue if not fault["rivals"][name]["detected"]],
                "quantities": quantities,
                "alarms": alarms,
                "false_alarms": alarms / quantities if quantities else None,
            }
    return rivals


def _ablation(part: str, catalogue: Sequence[Facts]) -> Facts:
    lost = [fault["name"] for fault in catalogue if fault["detected"] and not fault["without"][part]]
    return {"detected": sum(fault["without"][part] for fault in catalogue), "lost": lost}


def _short(fault: Facts) -> list[str]:
    """Return, in words, how the findings on one fault fall short of the promise."""
    name = fault["name"]
    if not fault["detected"] and not fault["warned"]:
        why = f"as is known: {fault['missed']}" if fault["missed"] else f"{fault['verdict']}{': ' + fault['found'] if fault['found'] else ''}"
        return [f"{name}: not detected ({why})"]
    if fault["missed"]:
        return [f"{name}: declared to be missed, but detected: remove the declaration"]
    lines = [] if fault["localised"] else [f"{name}: seen at {fault['place']}, expected at {fault['at']}"]
    if fault["diagnosis"] == "wrong":
        lines.append(f"{name}: said to be {fault['found_cause']!r}, expected {repr(fault['cause']) if fault['cause'] else 'that it is unknown'}")
    if fault["diagnosis"] == "unknown":
        lines.append(f"{name}: its cause, {fault['cause']!r}, stays unknown")
    return lines


def _kept(facts: Facts) -> bool:
    """Return whether the promise is kept."""
    causes = facts["causes"]
    return bool(
        facts["missed"] == list(facts["known_misses"])
        and facts["detected"] + facts["warned"] == facts["localised"]
        and not facts["false_alarms"]["alarms"]
        and causes["right"] >= RIGHT_CAUSES * causes["known"]
        and causes["wrong"] <= WRONG_CAUSES * facts["faults"]
    )


def _sums(facts: Facts) -> list[str]:
    causes, alarms, total = facts["causes"], facts["false_alarms"], facts["faults"]
    warned = f" and {counted(facts['warned'], 'warning')}" if facts["warned"] else ""
    return [
        f"{facts['detected']:,} of {counted(total, 'fault')} detected{warned}, {facts['localised']:,} at the right place",
        f"{causes['right']:,} of {counted(causes['known'], 'known cause')} named, {causes['wrong']:,} wrong",
        f"{counted(alarms['alarms'], 'false alarm')} in {counted(alarms['quantities'], 'quantity', 'quantities')} of right implementations",
    ]
