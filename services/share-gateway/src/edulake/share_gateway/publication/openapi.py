"""OpenAPI 3.1 of a shared API, made from its definition and its dataset's contract."""

from typing import Any

from edulake.common.standards import ApiDefinition, Contract, FieldContract, Parameter

_JSON = {
    "string": {"type": "string"},
    "code": {"type": "string"},
    "integer": {"type": "integer", "format": "int64"},
    "decimal": {"type": "number"},
    "date": {"type": "string", "format": "date"},
    "boolean": {"type": "boolean"},
}
_PROBLEMS = {
    "400": "参数有误 / bad parameter",
    "401": "令牌无效 / not authenticated",
    "403": "没有授权 / no grant",
    "404": "没有记录 / no such record",
    "409": "翻页期间数据已更新 / published anew while paging",
    "429": "超出额度 / quota exceeded",
    "503": "暂不可用 / temporarily unavailable",
}


def path_of(api: ApiDefinition) -> str:
    """Where the API is called, from the gateway's base address on."""
    return f"/share/{api.version}/{api.name}"


def openapi_of(api: ApiDefinition, contract: Contract, base_url: str) -> dict[str, Any]:
    """The document of one API; `base_url` is the gateway's public address."""
    return {
        "openapi": "3.1.0",
        "info": {"title": _both(api.title, api.title_en), "version": api.version, "description": api.summary},
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}],
        "paths": {path_of(api): {"get": _operation(api, contract)}},
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": f"{base_url}/oauth/token", "scopes": {}}},
                }
            },
            "schemas": {"Record": _record(api, contract), "Problem": _PROBLEM},
        },
    }


def _operation(api: ApiDefinition, contract: Contract) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {
            "description": "成功 / success",
            "content": {"application/json": {"schema": _answer(api), "example": api.sample_response}},
        }
    }
    for status, words in _PROBLEMS.items():
        if (status == "404" and api.kind == "list") or (status == "409" and api.kind == "one"):
            continue
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        answers[status] = {"description": words, "content": {"application/problem+json": problem}}
    return {
        "operationId": api.name.replace("-", "_"),
        "summary": _both(api.title, api.title_en),
        "description": f"{api.summary}\n\n数据集 {contract.title}（{contract.name}），级别 {api.level}。",
        "parameters": [*map(_parameter, api.parameters), *(_paging(api) if api.kind == "list" else ())],
        "responses": answers,
        "x-edulake-level": api.level,
        "x-edulake-dataset": api.dataset,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": parameter.max_length}
    if parameter.op != "in":
        schema = {**_JSON[parameter.type]} if parameter.type != "string" else schema
    if parameter.pattern and schema["type"] == "string":
        schema["pattern"] = parameter.pattern
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
    }


def _paging(api: ApiDefinition) -> list[dict[str, Any]]:
    limit = {"type": "integer", "minimum": 1, "maximum": api.page.max, "default": api.page.default}
    cursor = {"type": "string", "maxLength": 2048}
    return [
        {"name": "limit", "in": "query", "description": "每页条数 / rows a page", "schema": limit},
        {
            "name": "cursor",
            "in": "query",
            "description": "上一页的 next / `next` of the last page",
            "schema": cursor,
        },
    ]


def _answer(api: ApiDefinition) -> dict[str, Any]:
    record: dict[str, Any] = {"$ref": "#/components/schemas/Record"}
    properties: dict[str, Any] = {"data": record, "version": {"type": "integer"}}
    if api.kind == "list":
        properties["data"] = {"type": "array", "items": record, "maxItems": api.page.max}
        properties["next"] = {"type": ["string", "null"]}
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _record(api: ApiDefinition, contract: Contract) -> dict[str, Any]:
    """Which of the columns are present depends on the grant, so none is required."""
    return {"type": "object", "properties": {name: _column(contract.field(name)) for name in api.columns}}


def _column(field: FieldContract) -> dict[str, Any]:
    schema: dict[str, Any] = dict(_JSON[field.served_type])
    schema["type"] = [schema["type"], "null"]
    return {**schema, "title": _both(field.title, field.title_en), "x-edulake-level": field.level}


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "mend": {"type": "string"},
        "where": {"type": "string"},
        "trace_id": {"type": "string"},
    },
}


def _both(chinese: str, english: str) -> str:
    return f"{chinese} / {english}" if english else chinese
