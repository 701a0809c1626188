"""What headers of programs have in common, so that a compact file need not say it again.

The text is a header much as others are. It belongs to version 2 of the compact form: files of that version
can be read with no other, so it never changes.
"""

from __future__ import annotations

from functools import cache

import zstandard

_PATHS = """word_embeddings
position_embeddings
encoder.layer.0.attention.self.query
encoder.layer.0.attention.output.dense
encoder.layer.0.attention.output.LayerNorm
encoder.layer.0.intermediate.dense
wpe
wte
blocks.0.norm1
blocks.0.attn.q_proj
blocks.0.attn.k_proj
blocks.0.attn.v_proj
blocks.0.attn.out_proj
blocks.0.norm2
blocks.0.mlp.fc1
blocks.0.mlp.fc2
norm
head
bn1
conv3
conv1
conv2
fc3
fc1
fc2
layers.0
layers.2
layers.4""".splitlines()
_CALLS = """pow {"exponent":2}
cast {"dtype":"float32"}
clip {"high":1.0,"low":-1.0}
concat {"axis":1}
mean {"axis":[1],"keepdims":true}
sum {"axis":[1],"keepdims":false}
avgpool2d {"kernel":[2,2],"padding":[0,0],"stride":[2,2]}
batchnorm {"eps":1e-05}
slice {"key":[[0,64,null]]}
gather {}
where {}
sub {}
div {}
mul {}
exp {}
sqrt {}
tanh {}
sigmoid {}
softmax {"axis":-1}
matmul {}
lookup {}
lookupint8 {}
layernorm {"eps":1e-05}
permute {"order":[0,2,1,3]}
attention {"causal":true,"scale":0.1767766952966369}
gelutanh {}
linearint4 {}
quantize {}
conv2dint8 {"dilation":[1,1],"groups":1,"padding":[1,1],"stride":[1,1]}
conv2d {"dilation":[1,1],"groups":1,"padding":[0,0],"stride":[1,1]}
relu {}
maxpool2d {"kernel":[2,2],"padding":[0,0],"stride":[2,2]}
conv2d {"dilation":[1,1],"groups":1,"padding":[1,1],"stride":[1,1]}
add {}
quantizerows {}
linearint8 {}
add {}
reshape {"shape":[1,784]}
linear {}
relu {}
linear {}""".splitlines()


@cache
def words() -> zstandard.ZstdCompressionDict:
    """The dictionary for headers: a text that Zstandard takes to have been there before them."""
    return zstandard.ZstdCompressionDict(_text(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _text() -> bytes:
    values = '["int64",[1,64],""],["float16",[128],""],["float32",[1,16,28,28],""],["int8",[32,16,3,3],""]'
    states, calls, table = "", "", ""
    for number, path in enumerate(_PATHS):
        quantized = (
            [("codes", "int8", "I8"), ("scale", "float32", "F32")] if number >= len(_PATHS) - 3 else []
        )
        for kind, dtype, short in [*quantized, ("weight", "float32", "F32"), ("bias", "float32", "F32")]:
            values += f',["{dtype}",[1,100],"{path}.{kind}"]'
            states += f',[{number},"{path}.{kind}"]'
            table += f',"{path}.{kind}":{{"dtype":"{short}","shape":[128],"data_offsets":[{number}00,1200]}}'
    for number, call in enumerate(_CALLS):
        op, fields = call.split(" ")
        calls += (
            f',{{"op":"{op}","fields":{fields},"inputs":[{number},1,2],"outputs":[{number + 1}],"writes":[],'
            f'"path":"{_PATHS[number % len(_PATHS)]}","backward":false}}'
        )
    document = (
        '{"format":"tinytorch-program","version":1,"name":"CNN","notes":{},"stateless":true,'
        f'"values":[["float32",[1,784],""],{values},["float32",[1,300],""],["float32",[1,10],""]],"inputs":[0],'
        f'"states":[{states}],"constants":[],"calls":[{calls}],"outputs":[12],"updates":[]}}'
    ).replace('"', '\\"')
    return f'{{"__metadata__":{{"program":"{document}"}}{table}}}'.encode()
