"""Chinese: errors and messages of `mfp-predict`, and the frames that they stand in."""

from __future__ import annotations

from mfp.report.chinese_help import HELP_SENTENCES

# What stands around another sentence; tried first.
FRAMES = {
    "rejected: {row}": "未采用：{row!t}",
    "{file}, row {row}, {field}: {why}": "{file}，第 {row} 行，{field}：{why!t}",
    "{file}, row {row}: {why}": "{file}，第 {row} 行：{why!t}",
}
_PROGRESS = {
    "1 row was rejected; see {file}": "1 行未被采用；见 {file}",
    "{count} rows were rejected; see {file}": "{count} 行未被采用；见 {file}",
    "1 row was rejected": "1 行未被采用",
    "{count} rows were rejected": "{count} 行未被采用",
    "{file}: goes on after {count} rows": "{file}：从第 {count} 行之后继续",
    "interrupted; the same command with --resume goes on": "已中断；同一命令加上 --resume 可继续",
    "interrupted": "已中断",
    "page in {file}": "网页已写入 {file}",
    "drawn in {file}": "图已写入 {file}",
    "{file}: column {column} is not a field; ignored": "{file}：列 {column} 不是已知字段；已忽略",
    "{file}: more columns are not fields; ignored": "{file}：还有别的列不是已知字段；已忽略",
    "{file}: has {count} columns; at most {most} are read": (
        "{file}：有 {count} 列；最多读取 {most} 列"
    ),
    "is missing; write one of {which}": "缺失；请写以下之一：{which}",
    "{value} is not one of {which}": "{value} 不是以下之一：{which}",
    "{file}: row {row} is not UTF-8; read as Windows-1252, as are others like it": (
        "{file}：第 {row} 行不是 UTF-8；此行及类似的行按 Windows-1252 读取"
    ),
    "compiled programs are not kept: {error}": "未保存已编译的程序：{error}",
}
# How the command is called; of click itself, then ours.
_USAGE = {
    "Missing option {option} (env var: {variable}).": (
        "缺少选项 {option}（或环境变量 {variable}）。"
    ),
    "Missing option {option}.": "缺少选项 {option}。",
    "No such option {option}. Did you mean {other}?": "没有选项 {option}。是否想用 {other}？",
    "No such option {option}. (Did you mean one of: {others}?)": (
        "没有选项 {option}。（是否想用其中之一：{others}？）"
    ),
    "No such option {option}.": "没有选项 {option}。",
    "Invalid value for {option}: {why}": "{option} 的值无效：{why!t}",
    "Option {option} requires an argument.": "选项 {option} 需要一个值。",
    "Option {option} does not take a value.": "选项 {option} 不带值。",
    "Could not open file {file}: {why}": "无法打开文件 {file}：{why}",
    "{value} is not one of {choices}.": "{value} 不在可选值之中：{choices}。",
    "{value} is not in the range {range}.": "{value} 不在范围 {range} 之内。",
    "{value} is not a valid {kind}.": "{value} 不是有效的数值。",
    "File {file} is a directory.": "{file} 是文件夹。",
    "Directory {file} is a file.": "{file} 是文件，不是文件夹。",
    "--shard and --resume: are for files of films": "--shard 和 --resume：只用于影片文件",
    "give files, or one film by options, not both": (
        "请给出文件，或用选项给出一部影片，不能两者都给"
    ),
    "no films: give a FILE, or --title and more; see --help": (
        "没有影片：请给出文件，或 --title 等选项；见 --help"
    ),
    "--report {file}: end it in .html": "--report {file}：文件名须以 .html 结尾",
    "--curve {file}: end it in .png": "--curve {file}：文件名须以 .png 结尾",
    "--output {file}: end it in .csv, .jsonl or .json": (
        "--output {file}：文件名须以 .csv、.jsonl 或 .json 结尾"
    ),
    "--format {shape}: --output {file} ends in another format": (
        "--format {shape}：--output {file} 的扩展名是另一种格式"
    ),
    "--shard {text}: write I/N with I from 1 to N, such as 3/8": (
        "--shard {text}：请写成 I/N，I 为 1 到 N，例如 3/8"
    ),
    "--level {level}: is not a share; write a number between 0 and 1": (
        "--level {level}：不是比例；请写 0 与 1 之间的数"
    ),
    "--level {level}: needs more calibration films than this bundle has; at most {most}": (
        "--level {level}：所需的校准影片多于本模型所有；最多为 {most}"
    ),
    "--vary {text}: write FIELD=VALUES; FIELD is one of {known}": (
        "--vary {text}：请写成 FIELD=VALUES；FIELD 为以下之一：{known}"
    ),
    "--{option}: {why}": "--{option}：{why!t}",
    "{path}: {why}": "{path}：{why!t}",
}
_CANNOT_BE_READ = {"{file} cannot be read: {error}": "{file} 无法读取：{error!t}"}
_REASONS = {
    # Options.
    "explains forecasts, not the plans of --vary": "只解释预测，不解释 --vary 的方案",
    "is for plans; add --vary": "只用于方案；请加上 --vary",
    "is for the terminal; drop --output": "只用于终端；请去掉 --output",
    "a CSV has no room for reasons; use JSON Lines or a table": (
        "CSV 放不下原因；请用 JSON Lines 或表格"
    ),
    "needs forecasts in --output FILE.csv or FILE.jsonl": (
        "需要用 --output 把预测写入 .csv 或 .jsonl 文件"
    ),
    "its reviews stand alone; use --review with a film": (
        "其中的影评单独预测；影片的影评请用 --review"
    ),
    "a page holds at most {count} films; choose some, or drop --report": (
        "一个网页最多容纳 {count} 部影片；请选出一些，或去掉 --report"
    ),
    "plans one film, {count} are given": "只为一部影片比较方案，给出了 {count} 部",
    "this bundle does not read it, so that it would change nothing": (
        "本模型不读取它，改变它不会有任何作用"
    ),
    "this bundle predicts {targets}: no {goal} to plan": (
        "本模型预测的是 {targets!l}：没有{goal!w}可用于比较方案"
    ),
    "{field} is known only after release": "{field} 在上映之后才知道",
    "{count} values; at most {most}": "{count} 个值；最多 {most} 个",
    "is given twice; list all its values in one": "给出了两次；请把它的所有值写在一个选项里",
    "{sizes} makes {count} plans, at most {most}; use larger steps or fewer values": (
        "{sizes} 共 {count} 个方案，最多 {most} 个；请加大步长或减少取值"
    ),
    "a film needs a title": "影片需要片名",
    "{step} is no step; write one of {steps}": "{step} 不是步长；请写以下之一：{steps}",
    "{low} is later than {high}": "{low} 晚于 {high}",
    "{low} is not below {high}": "{low} 不小于 {high}",
    "{step} is no number of points; write 2 to {most}": "{step} 不是点数；请写 2 到 {most}",
    "more than {most} steps; take larger ones": "超过 {most} 步；请加大步长",
    # Files.
    "No such file or folder: {folder}": "没有这个文件或文件夹：{folder}",
    "No such file or directory": "没有这个文件或文件夹",
    "Permission denied": "没有权限",
    "No space left on device": "磁盘空间不足",
    "Is a directory": "是文件夹",
    "is read and cannot be written over": "正在被读取，不能覆盖",
    "no such file": "没有这个文件",
    "is a folder; name a .csv, .jsonl or .json file": (
        "是文件夹；请给出 .csv、.jsonl 或 .json 文件"
    ),
    "is empty; expected films as CSV, JSON Lines or JSON": (
        "是空文件；应为 CSV、JSON Lines 或 JSON 格式的影片"
    ),
    "is a binary file, not CSV, JSON Lines or JSON": "是二进制文件，不是 CSV、JSON Lines 或 JSON",
    "is damaged UTF-16 ({why}); save the file as UTF-8": "UTF-16 已损坏（{why}）；请存为 UTF-8",
    "is not UTF-8; save the file as UTF-8": "不是 UTF-8；请存为 UTF-8",
    "the header cannot be read as CSV: {error}": "表头无法按 CSV 读取：{error}",
    "no 'title' column; the first row must name the columns (found: {columns})": (
        "没有 'title' 列；第一行必须是列名（现有：{columns}）"
    ),
    "column {column} stands twice in the header": "列 {column} 在表头中出现两次",
    "holds no films, only a header": "没有影片，只有表头",
    "holds no films": "没有影片",
    "is larger than {count} bytes; write JSON Lines instead": (
        "大于 {count} 字节；请改用 JSON Lines"
    ),
    "is not JSON: {error}": "不是 JSON：{error}",
    "a quote that opens here is never closed; close it": "此处的引号没有闭合；请补上",
    "has {count} cells, the header has {columns}": "有 {count} 个单元格，表头有 {columns} 个",
    "is longer than {count} characters": "超过 {count} 个字符",
    "cannot be read as CSV: {error}": "无法按 CSV 读取：{error}",
    "{value} is not a JSON object": "{value} 不是 JSON 对象",
    # Values of a film.
    "is missing; every film needs a title": "缺失；每部影片都需要片名",
    "is empty": "为空",
    "{value} is not a text": "{value} 不是文本",
    "{value} is not a file path": "{value} 不是文件路径",
    "{value} is not a list of names; separate them with '|'": (
        "{value} 不是名称列表；请用 '|' 分隔"
    ),
    "{value} is not a number; write digits in {unit}": "{value} 不是数字；请写数字，单位：{unit!t}",
    "{value} is not a number; write digits": "{value} 不是数字；请写数字",
    "{value} is not a number": "{value} 不是数字",
    "{value} may mean dollars or thousands; write digits": (
        "{value} 可能指美元或千美元；请写完整的数字"
    ),
    "{value} is impossible; write {low} to {high} US dollars, or leave empty": (
        "{value} 不可能；请写 {low} 至 {high} 美元，或留空"
    ),
    "{value} is impossible; write {low} to {high} minutes, or leave empty": (
        "{value} 不可能；请写 {low} 至 {high} 分钟，或留空"
    ),
    "{value} is impossible; write {low} to {high}, or leave empty": (
        "{value} 不可能；请写 {low} 至 {high}，或留空"
    ),
    "{value} is not a date; write YYYY-MM-DD, YYYY-MM or YYYY": (
        "{value} 不是日期；请写成 YYYY-MM-DD、YYYY-MM 或 YYYY"
    ),
    "{value} is not a date; write YYYY-MM-DD": "{value} 不是日期；请写成 YYYY-MM-DD",
    "{value} may be day or month first; write YYYY-MM-DD": (
        "{value} 可能是日在前或月在前；请写成 YYYY-MM-DD"
    ),
    "{value} is outside {first}-{last}; write the year of release": (
        "{value} 超出 {first}-{last}；请写上映年份"
    ),
    "{value} is not a day of the calendar": "{value} 不是日历中的一天",
    "{value} is not one of {known}": "{value} 不在其中：{known}",
    # Pictures and clips.
    "{file} is not a file": "{file} 不是文件",
    "{file} is an empty file": "{file} 是空文件",
    "{file} is larger than {size} MB": "{file} 大于 {size} MB",
    "{file} leaves the media folder; use a path inside it": (
        "{file} 在媒体文件夹之外；请用其中的路径"
    ),
    "{file} is not in the media folder; correct or empty it": (
        "{file} 不在媒体文件夹中；请改正或清空"
    ),
    "the picture has more than {count} million pixels; make it smaller": (
        "图片超过 {count} 百万像素；请缩小"
    ),
    "the picture is not JPEG, PNG or WebP; convert it or empty the field": (
        "图片不是 JPEG、PNG 或 WebP；请转换或清空该字段"
    ),
    "the picture needs too much memory; make it smaller": "图片需要的内存过多；请缩小",
    "the picture is damaged ({why}); replace it or empty the field": (
        "图片已损坏（{why}）；请更换或清空该字段"
    ),
    "the clip is larger than {size} MB; shorten it": "视频大于 {size} MB；请截短",
    "the clip needs too much memory; make it smaller": "视频需要的内存过多；请缩小",
    "the clip cannot be decoded ({why}); use a whole MP4, MOV, MKV, WebM, AVI or TS file, or empty "
    "the field": (
        "视频无法解码（{why}）；请用完整的 MP4、MOV、MKV、WebM、AVI 或 TS 文件，或清空该字段"
    ),
    "the clip has no video; replace it or empty the field": "视频没有画面；请更换或清空该字段",
    "the clip has no readable frame; replace it or empty the field": (
        "视频没有可读的画面；请更换或清空该字段"
    ),
    "the clip is {width} x {height} pixels; scale it to 1080p": (
        "视频为 {width} x {height} 像素；请缩放到 1080p"
    ),
    "the clip does not say how long it is; remux it (ffmpeg -c copy)": (
        "视频没有注明时长；请重新封装（ffmpeg -c copy）"
    ),
    "the clip is 0 seconds long; replace it or empty the field": (
        "视频时长为 0 秒；请更换或清空该字段"
    ),
    "the clip is longer than {count} minutes; shorten it": "视频超过 {count} 分钟；请截短",
    "the clip takes more than {count} s to decode; shorten it, or scale it to 720p": (
        "视频解码超过 {count} 秒；请截短，或缩放到 720p"
    ),
    "the folder {folder} has no JPEG, PNG or WebP pictures": (
        "文件夹 {folder} 中没有 JPEG、PNG 或 WebP 图片"
    ),
    "no picture in the folder {folder} can be read ({why})": (
        "文件夹 {folder} 中没有可读的图片（{why!t}）"
    ),
    # The bundle.
    "no such folder; name a bundle that `mfp export` wrote": (
        "没有这个文件夹；请给出 `mfp export` 写出的模型"
    ),
    "is not a bundle (no manifest.json); name the folder that `mfp export` wrote": (
        "不是模型（没有 manifest.json）；请给出 `mfp export` 写出的文件夹"
    ),
    "is not the manifest of an mfp-bundle": "不是 mfp 模型的清单",
    "has format version {version}, this program reads {first} to {last}; install the version of "
    "mfp that wrote it": (
        "格式版本为 {version}，本程序读取 {first} 至 {last}；请安装写出它的 mfp 版本"
    ),
    "was changed after the export; copy the bundle again": "导出之后被改动；请重新复制模型",
    "is not listed in the manifest": "不在清单之中",
    "is missing; copy the bundle again": "缺失；请重新复制模型",
    "differs from the manifest; copy the bundle again": "与清单不符；请重新复制模型",
    "is too large for a manifest": "作为清单过大",
    "is damaged: {error}": "已损坏：{error}",
    "cannot be read: {error}": "无法读取：{error!t}",
    "cannot be restored: {error}": "无法恢复：{error}",
    "the past films cannot be read: {error}": "往年影片无法读取：{error}",
    "program and feature spec do not belong together": "程序与特征说明不相配",
    "is not a program that jax {version} reads ({written}): {error}": (
        "jax {version} 无法读取此程序（{written}）：{error}"
    ),
    "has no intervals; export it with this version of mfp": "没有区间；请用此版本的 mfp 重新导出",
    "has no intervals of {target}: {why}": "没有{target!w}的区间：{why!t}",
    "only {count} calibration films know it, {least} are needed": (
        "只有 {count} 部校准影片有此结果，需要 {least} 部"
    ),
    "the modality '{name}' is added by another package, which is not installed; run: pip install "
    "{package}": "输入类别 '{name}' 由另一个尚未安装的软件包提供；请运行：pip install {package}",
    "is damaged ({error}); without --resume it begins anew": (
        "已损坏（{error}）；不加 --resume 则重新开始"
    ),
    "belongs to a run with another {key}; without --resume it begins anew": (
        "属于 {key} 不同的另一次运行；不加 --resume 则重新开始"
    ),
    "does not belong to {path}, which is shorter; without --resume it begins anew": (
        "与 {path} 不相配，后者更短；不加 --resume 则重新开始"
    ),
}
# Before the frames "--{option}: {why}" and "{path}: {why}", which would take a colon within a
# sentence for their own: what is known by its beginning.
_BEGUN = {english: own for english, own in _REASONS.items() if not english.startswith("{")}
ERRORS = _PROGRESS | HELP_SENTENCES | _BEGUN | _CANNOT_BE_READ | _USAGE | _REASONS
