"""BPETokenizer.encode_piece takes the longest token that fits, from left to right."""


class BPETokenizer:
    def encode_piece(self, piece):
        by_bytes = {token: i for i, token in reversed(list(enumerate(self.tokens)))}
        ids, begin = [], 0
        while begin < len(piece):
            end = max(e for e in range(begin + 1, len(piece) + 1) if piece[begin:e] in by_bytes)
            ids.append(by_bytes[piece[begin:end]])
            begin = end
        return ids
