"""Bar charts as SVG: no library, no script, the same picture for the same figures. Pure."""

from collections.abc import Mapping
from html import escape

ROW, TOP, LABEL, WIDTH = 26, 44, 190, 720

OURS, OTHERS, TEXT = "#1a73e8", "#9aa0a6", "#202124"


def bars(title: str, values: Mapping[str, float], *, highlight: str, digits: int = 0) -> str:
    """One bar for each value, in their order; the highlighted one stands out."""
    most = max([*values.values(), 1e-9])
    height = TOP + ROW * len(values) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for place, (label, value) in enumerate(values.items()):
        y = TOP + ROW * place
        length = round((WIDTH - LABEL - 90) * value / most, 1)
        colour = OURS if label == highlight else OTHERS
        weight = ' font-weight="600"' if label == highlight else ""
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end"{weight}>{escape(label)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{length}" height="{ROW - 8}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6}" y="{y + 14}"{weight}>{value:,.{digits}f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
