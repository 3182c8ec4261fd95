"""Turns the formulas of a page into MathML, which browsers render without a script. A formula that is wrong fails the build."""

import html
import re

from math_core import LatexToMathML

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
CONVERTER = LatexToMathML()


def on_page_content(content, page, config, files):
    def mathml(match):
        # fences of a fixed size, which no browser makes large around an exponent, become fences of the size of their content
        formula = re.sub(
            r"\\[bB]igg?([lr])", lambda side: {"l": r"\left", "r": r"\right"}[side[1]], html.unescape(match[3])
        )
        return CONVERTER.convert_with_local_state(formula.strip(), displaystyle=match[2] == "[")

    return FORMULA.sub(mathml, content)
