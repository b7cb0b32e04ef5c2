"""What the contracts must not say about each other, the code tables and the domains."""

from collections.abc import Iterator, Mapping

from edulake.common.standards.contract import Contract, FieldContract, Link
from edulake.common.standards.tables import CodeTable, Domain

#: The code table by which rows are given out district by district.
REGIONS = "gbt2260"


def faults_of_datasets(
    datasets: Mapping[str, Contract], codes: Mapping[str, CodeTable], domains: Mapping[str, Domain]
) -> Iterator[str]:
    """Every reason against the contracts, by file and field."""
    yield from _sources_faults(datasets)
    for contract in datasets.values():
        for fault in _contract_faults(contract, datasets, codes, domains):
            yield f"datasets/{contract.domain}/{contract.name}: {fault}"


def _contract_faults(
    contract: Contract,
    datasets: Mapping[str, Contract],
    codes: Mapping[str, CodeTable],
    domains: Mapping[str, Domain],
) -> Iterator[str]:
    yield from _place_faults(contract, domains)
    for field in contract.fields:
        if field.code_table and field.code_table not in codes:
            yield f"{field.name}: no code table {field.code_table}"
        elif field.code_table and not _in_scope(field, codes[field.code_table]):
            yield f"{field.name}: code_scope: {field.code_table} has no code that starts with {field.code_scope}"
    if contract.region_from and contract.field(contract.region_from).code_table != REGIONS:
        yield f"region_from: {contract.region_from} is no code of {REGIONS}, by which districts are granted"
    targets = {one.alias: datasets.get(one.dataset) for one in contract.references}
    for reference in contract.references:
        if targets[reference.alias] is None:
            yield f"references: no dataset {reference.dataset}"
    for link in contract.links:
        target = targets[link.reference]
        faults = _link_faults(link, contract, target) if target else ()
        yield from (f"links: {link.field}: {fault}" for fault in faults)


def _place_faults(contract: Contract, domains: Mapping[str, Domain]) -> Iterator[str]:
    domain = domains.get(contract.domain)
    if domain is None:
        yield f"domain: {contract.domain} is not in domains.yaml: {', '.join(domains)}"
    elif contract.theme not in domain.themes:
        yield f"theme: {contract.theme} is none of {contract.domain} in domains.yaml: {', '.join(domain.themes)}"


def _in_scope(field: FieldContract, table: CodeTable) -> bool:
    return field.code_scope is None or any(row.code.startswith(field.code_scope) for row in table.rows)


def _link_faults(link: Link, contract: Contract, target: Contract) -> Iterator[str]:
    """What it names of the reference must be there in the clear, and fit what it is put into or compared with."""
    fields = {field.name: field for field in target.fields if field.protect.share == "keep"}
    named = {link.key, link.reference_code, link.reference_name, *link.where, *link.fill.values()}
    if unknown := sorted((named | set(link.narrow.values())) - fields.keys()):
        yield f"{target.name} has no clear field {', '.join(unknown)}"
        return
    if link.code is None and link.name is None:
        yield "code or name is needed: by neither nothing can be found"
    for own, column in {link.field: link.key, **link.fill}.items():
        given, wanted = fields[column].served_type, contract.field(own).type
        if given != wanted and {given, wanted} != {"string", "code"}:
            yield f"{own} is {wanted} and {target.name}.{column} is {given}"
    for own in link.narrow:
        if contract.field(own).code_table is None:
            yield f"narrow: {own} is no code, so it has no parent"
    for column, allowed in link.where.items():
        if fields[column].type not in ("string", "code") or not allowed:
            yield f"where: {column} must be text with at least one allowed value"


def _sources_faults(datasets: Mapping[str, Contract]) -> Iterator[str]:
    """One source for each element (一数一源), and nothing is filled in from any other."""
    source: dict[str, str] = {}
    for contract in datasets.values():
        for element in contract.authoritative_for:
            if (other := source.setdefault(element, contract.name)) != contract.name:
                yield f"datasets/{contract.name}: authoritative_for: {element} is {other}'s already"
    for contract in datasets.values():
        names = {reference.alias: reference.dataset for reference in contract.references}
        for link in contract.links:
            for column in link.fill.values():
                if source.get(column) != names[link.reference]:
                    yield (
                        f"datasets/{contract.name}: {link.field}: {names[link.reference]} "
                        f"is not the source of {column}"
                    )
