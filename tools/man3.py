#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""man3.py HEADER.. [--list | --out DIR --release VERSION] - a manual page for each public function, from the comments in the headers.

The headers are the documentation; these pages are the same text for those who type `man aether_publish`. Functions that
share a comment have the same page, which bears the name of the first. --list prints the pages' names; --out writes
them.

A public function without a comment is an error, so this is also the test that there is none.
"""

import argparse
import dataclasses
import pathlib
import re
import sys

COMMENT = re.compile(r'/\*(.*?)\*/', re.S)
FUNCTION = re.compile(r'^(?!typedef)(?:AETHER_INLINE |AE_ALWAYS_INLINE )?(?P<type>[\w ]+?[ *]+)(?P<name>aether_(?!detail_)\w+)'
                      r'\((?P<args>[^()]*)\)$', re.S)
TYPE_NAME = re.compile(r'\b(aether_\w+)\b')
INLINE_PART = re.compile(r'^/\* ---- inline hot path', re.M)


@dataclasses.dataclass
class Function:
    """A public function's prototype."""

    name: str
    type: str
    args: list


@dataclasses.dataclass
class Page:
    """The functions that one comment describes."""

    header: str
    comment: str
    functions: list


def error(text):
    print(f'man3.py: {text}', file=sys.stderr)
    sys.exit(1)


# ---- headers ----


def unstarred(comment):
    """The text of a comment, without the stars."""
    lines = [re.sub(r'^ ?\* ?', '', line.rstrip()) for line in comment.strip('*').split('\n')]
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    return '\n'.join([lines[0].strip()] + lines[1:]) if lines else ''


def pieces(text):
    """The top level of a header in order: ('comment', text), ('code', text) up to a ; or a }, ('blank', '')."""
    at = 0
    while at < len(text):
        if text.startswith('\n\n', at):
            yield 'blank', ''
            at += 2
        elif text[at].isspace():
            at += 1
        elif text.startswith('#', at) or text.startswith('extern "C"', at) or text[at] == '}':
            end = text.find('\n', at)
            while text[end - 1] == '\\':
                end = text.find('\n', end + 1)
            at = end if end >= 0 else len(text)
        elif text.startswith('/*', at):
            end = text.index('*/', at) + 2
            yield 'comment', text[at:end]
            at = end
        else:
            start, depth = at, 0
            while at < len(text) and not (depth == 0 and text[at] in ';}'):
                if text.startswith('/*', at):
                    at = text.index('*/', at) + 1
                depth += {'{': 1, '}': -1}.get(text[at], 0)
                if depth == 0 and text[at] == '}' and not text.startswith('typedef', start):
                    break
                at += 1
            at += 1
            yield 'code', text[start:at]


def read_header(path, types):
    """The pages of a header. Adds its structs and enums to types: name -> source."""
    text = pathlib.Path(path).read_text(encoding='utf-8')
    text = text[text.index('*/', text.index('*/') + 2) + 2:]  # the licence and the header's own comment
    cut = INLINE_PART.search(text)
    text = text[:cut.start()] if cut else text
    pages, comment, page, last = [], None, None, ''
    for kind, piece in pieces(text):
        if kind == 'blank':
            comment = page = None
        elif kind == 'comment':
            if last == 'code' and page is not None:
                page.comment += '\n\n' + unstarred(COMMENT.match(piece)[1])  # on the line of a prototype
            else:
                comment, page = piece, None
        else:
            piece = piece.rstrip(';').strip()
            found = FUNCTION.match(piece)
            named = re.search(r'(\w+)$', piece)
            if piece.startswith('typedef') and '{' in piece and named:
                types[named[1]] = (comment + '\n' if comment else '') + piece + ';'
            elif found:
                args = [' '.join(arg.split()) for arg in found['args'].split(',')]
                function = Function(found['name'], found['type'].strip(), args)
                if page is None:
                    if comment is None:
                        error(f'{path}: {function.name}() has no comment')
                    page = Page(pathlib.Path(path).name, unstarred(COMMENT.match(comment)[1]), [])
                    pages.append(page)
                page.functions.append(function)
        last = kind
    return pages


# ---- pages ----


def escaped(line):
    line = line.replace('\\', '\\e')
    return '\\&' + line if line[:1] in ('.', "'") else line


def sentence_of(comment):
    """The first sentence, for the NAME section: without its full stop, and not longer than a line."""
    first = re.split(r'(?<=[^.]\w)\.(?:\s|$)', ' '.join(comment.split('\n\n')[0].split()))[0]
    first = re.split(r'[:;?]| \(', first)[0].rstrip('.')
    return first[0].lower() + first[1:] if not re.match(r'(?:[A-Z]{2}|aether_)', first) else first


def filled(lines):
    """The sentences of a paragraph, each on lines of its own, as troff wants them."""
    text = ' '.join(line.strip() for line in lines)
    return [escaped(sentence) for sentence in re.split(r'(?<=[^\s.][.?]) (?=[A-Z0-9$`*])', text)]


def block(lines):
    return ['.Bd -literal -offset indent'] + [escaped(line) for line in lines] + ['.Ed']


def paragraphs(comment):
    """(literal, lines) of each paragraph. What is indented, or is a table, is literal: it is shown as it is."""
    for part in re.split(r'\n\s*\n', comment):
        lines = part.strip('\n').split('\n')
        if any(re.search(r'\S {3,}\S', line) for line in lines):
            yield True, lines
            continue
        while lines:
            indented = lines[0].startswith('  ')
            n = 1
            while n < len(lines) and lines[n].startswith('  ') == indented:
                n += 1
            yield indented, lines[:n]
            lines = lines[n:]


def listed(lines):
    """A list of dashes, or of words with what they mean; None if these lines are neither."""
    items = []
    for line in lines:
        dash = re.match(r'- (.*)', line)
        word = re.match(r'(\S+) {2,}(.*)', line)
        if dash or word:
            items.append((word[1] if word else None, [(word or dash)[2 if word else 1]]))
        elif items and line.startswith(' '):
            items[-1][1].append(line)
        else:
            return None
    if len({word is None for word, _ in items}) != 1:
        return None
    out = ['.Bl -dash' if items[0][0] is None else '.Bl -tag -width Ds']
    for word, text in items:
        out += [f'.It {word}' if word else '.It'] + filled(text)
    return out + ['.El']


def error_list(text):
    """'-EFOO why. More; -EBAR, -EBAZ why; and those of other(). More.' as a list; None if it has another form."""
    out, more = [], ''
    for item in re.split(r'[;.] (?=-E|and )', text):
        found = re.match(r'(-E\w+(?:, -E\w+)*):?(?: (.*)|$)', item)
        if found:
            why = filled([found[2]]) if found[2] else []
            if len(why) > 1:
                why[-1] += '.'
            out += ['.It ' + found[1].replace('-', '\\-')] + why
        elif out and item.startswith('and '):
            more = item[4].upper() + item[5:]
        else:
            return None
    return ['.Bl -tag -width Ds'] + out + ['.El'] + (['.Pp'] + filled([more]) if more else [])


def section_of(lines):
    if lines[0].startswith('Errors:'):
        return 'ERRORS'
    return 'RETURN VALUES' if lines[0].startswith('Returns') else 'DESCRIPTION'


def split_errors(comment):
    """Puts 'Errors: ...' and 'Returns ...' at the beginning of a paragraph, with its continuation lines."""
    text = re.sub(r'(?m)(?<=\S)[ ]+(Errors: )', r'\n\n\1', comment)
    text = re.sub(r'(?m)\n(Errors: |Returns )', r'\n\n\1', text)
    lines, continues = [], False
    for line in text.split('\n'):
        if not line.strip():
            continues = False
        lines.append(line.strip() if continues else line)
        if line.startswith('Errors:'):
            continues = True
    return '\n'.join(lines)


def types_of(page, types):
    """The public structs and enums that the prototypes name, in that order."""
    found = []
    for function in page.functions:
        for name in TYPE_NAME.findall(' '.join(function.args + [function.type])):
            if name in types and name not in found:
                found.append(name)
    return found


def render(page, types, date, release, others):
    """The lines of a page."""
    first = page.functions[0]
    names = [function.name for function in page.functions]
    out = ['.\\" SPDX-License-Identifier: Apache-2.0', f'.\\" Generated from aether/{page.header} by tools/man3.py.',
           f'.Dd {date}', f'.Dt {first.name.upper()} 3', f'.Os Aether {release}', '.Sh NAME']
    out += [f'.Nm {name} ,' for name in names[:-1]] + [f'.Nm {names[-1]}']
    out += ['.Nd ' + escaped(sentence_of(page.comment)), '.Sh SYNOPSIS', f'.In aether/{page.header}']
    for function in page.functions:
        out += [f'.Ft {function.type}', f'.Fo {function.name}']
        out += [f'.Fa "{arg}"' for arg in function.args] + ['.Fc']
    sections = {'DESCRIPTION': [], 'RETURN VALUES': [], 'ERRORS': []}
    current = 'DESCRIPTION'
    for literal, lines in paragraphs(split_errors(page.comment)):
        current = current if literal else section_of(lines)
        body = sections[current]
        if literal:
            margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
            lines = [line[margin:] for line in lines]
            body += listed(lines) or block(lines)
            continue
        lines[0] = re.sub(r'^Errors: ', '', lines[0])
        codes = error_list(' '.join(line.strip() for line in lines).rstrip('.')) if current == 'ERRORS' else None
        body += codes or (['.Pp'] if body else []) + filled(lines)
    for name, body in sections.items():
        if body:
            out += [f'.Sh {name}'] + body
    named = types_of(page, types)
    out += ['.Sh TYPES'] if named else []
    for name in named:
        out += block(types[name].split('\n'))
    out += ['.Sh SEE ALSO', '.Xr aether 3 ,'] + [f'.Xr {name} 3 ,' for name in others] + ['.Xr aether 7']
    return out


def date_of(manual):
    return re.search(r'^\.Dd (.*)$', manual.read_text(encoding='utf-8'), re.M)[1]


def main():
    parser = argparse.ArgumentParser(prog='man3.py')
    parser.add_argument('headers', nargs='+')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--out', type=pathlib.Path)
    parser.add_argument('--release', help='the version, for the foot of the pages')
    options = parser.parse_args()
    types, pages = {}, []
    for header in options.headers:
        pages += read_header(header, types)
    date = date_of(pathlib.Path(__file__).parent.parent / 'man/aether.3')
    for page in pages:
        names = [function.name for function in page.functions]
        others = sorted({other.functions[0].name for other in pages if other.header == page.header and other is not page})
        if options.list:
            print('\n'.join(f'{name}.3' for name in names))
        if options.out:
            text = '\n'.join(render(page, types, date, options.release, others)) + '\n'
            for name in names:
                (options.out / f'{name}.3').write_text(text, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
