"""BPETokenizer.split_specials forgets what comes after the last special token."""


class BPETokenizer:
    def split_specials(self, raw):
        begin = 0
        by_bytes = {_bytes(text): i for text, i in self.specials.items()}
        longest = sorted(by_bytes, key=len, reverse=True)
        if not longest:
            yield raw, None
            return
        for match in re.finditer(b"|".join(map(re.escape, longest)), raw):
            yield raw[begin : match.start()], by_bytes[match.group()]
            begin = match.end()
