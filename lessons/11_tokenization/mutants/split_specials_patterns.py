"""BPETokenizer.split_specials takes special tokens for regular expressions."""


class BPETokenizer:
    def split_specials(self, raw):
        begin = 0
        by_bytes = {_bytes(text): i for text, i in self.specials.items()}
        longest = sorted(by_bytes, key=len, reverse=True)
        if longest:
            for match in re.finditer(b"|".join(longest), raw):
                yield raw[begin : match.start()], by_bytes.get(match.group(), 0)
                begin = match.end()
        yield raw[begin:], None
