"""What is asked: a plain read with parameters that the API knows, each within its bounds."""

from edulake.common.errors import MethodNotAllowed
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import BadMessage


def validate(x: Exchange) -> None:
    """Set `x.call`; 400 for a bad parameter or a body, 405 for another method than GET and HEAD."""
    if x.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("只支持 GET", "only GET and HEAD are offered", headers={"Allow": "GET, HEAD"})
    if x.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in x.headers:
        raise BadMessage("查询接口不接受请求体", "a read has no body", mend_zh="参数放入查询串")
    x.call = x.plane.questions.read(x.api, x.query)
