"""BPETokenizer.split_specials takes special tokens in the order given, not the longest first."""


class BPETokenizer:
    def split_specials(self, raw):
        begin = 0
        by_bytes = {_bytes(text): i for text, i in self.specials.items()}
        if by_bytes:
            for match in re.finditer(b"|".join(map(re.escape, by_bytes)), raw):
                yield raw[begin : match.start()], by_bytes[match.group()]
                begin = match.end()
        yield raw[begin:], None
